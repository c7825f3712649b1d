import Testing
@testable import VQModels
