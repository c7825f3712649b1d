@_exported import VQQuantizers
