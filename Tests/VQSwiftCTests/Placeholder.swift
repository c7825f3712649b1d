import Testing
@testable import VQSwiftC
