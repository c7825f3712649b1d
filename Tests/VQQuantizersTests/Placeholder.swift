import Testing
@testable import VQQuantizers
