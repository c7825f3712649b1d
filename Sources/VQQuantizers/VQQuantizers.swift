@_exported import VQNN
