// swift run -c release --package-path examples/swift --scratch-path build/swift Waves
//
// Learns to send a wave of 32 samples as two codes of 6 bits.

import Glibc
import VQSwift

let (count, samples, width, codes) = (1024, 32, 8, 64)

/// Sines of random frequency, phase and height: [count, samples].
func waves(_ generator: Generator) throws -> Tensor {
  var values: [Float] = []
  for _ in 0..<count {
    let frequency = 1 + 2 * generator.nextUniform()
    let phase = 2 * Double.pi * generator.nextUniform()
    let height = 0.5 + generator.nextUniform()
    for i in 0..<samples {
      let angle = 2 * Double.pi * frequency * Double(i) / Double(samples) + phase
      values.append(Float(height * sin(angle)))
    }
  }
  return try Tensor(values, shape: [count, samples])
}

let generator = Generator(seed: 1)
let (training, test) = (try waves(generator), try waves(generator))

let encoder = Sequential(
  try Linear(inputs: samples, outputs: 64, generator: generator), GELU(),
  try Linear(inputs: 64, outputs: width, generator: generator))
let decoder = Sequential(
  try Linear(inputs: width, outputs: 64, generator: generator), GELU(),
  try Linear(inputs: 64, outputs: samples, generator: generator))

var options = VectorQuantOptions(featureSize: width, codeCount: codes)
options.start = .kMeans
options.syncNu = 1
options.affineLearningRate = 1
options.replaceFrequency = 20
let quantizer = try ResidualVectorQuant(options, stages: 2)

let parts: [Module] = [encoder, quantizer, decoder]
let optimizer = try AdamW(
  parts.flatMap { $0.trainableParameters.map(\.tensor) }, learningRate: 3e-3)
for step in 1...400 {
  let quantized = try quantizer.quantize(encoder(training))
  let error = try decoder(quantized.zq).meanSquaredError(training)
  optimizer.zeroGrad()
  try (error + quantized.loss).backward()
  try optimizer.step()
  if step % 100 == 0 {
    print("step \(step): error \(try error.item()), perplexity \(quantized.perplexity)")
  }
}

for part in parts { part.isTraining = false }
let sent = try withoutGradients { try quantizer.encode(encoder(test)) }  // [count, 2]
let received = try withoutGradients { try decoder(quantizer.decode(sent)) }
let error = try received.meanSquaredError(test).item()
let power = try test.square().mean().item()
print("the first wave is sent as \(sent.codes[..<2])")
print("test error \(error) of a power of \(power): \(10 * log10(power / error)) dB")
