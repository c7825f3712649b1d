@_exported import VQNN
@_exported import VQTensor
