@_exported import VQTensor
