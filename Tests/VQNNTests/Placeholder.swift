import Testing
@testable import VQNN
