@_exported import VQModels
