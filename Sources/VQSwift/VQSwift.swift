/// Everything of the package under one import: tensors, layers, quantizers, metrics, models,
/// estimators.

@_exported import VQEstimators
@_exported import VQMetrics
@_exported import VQModels
@_exported import VQNN
@_exported import VQQuantizers
@_exported import VQTensor
