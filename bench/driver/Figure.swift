import Foundation

/// How a figure is printed: name, number, unit, one to a line.
enum Figure {
  static func show(_ name: String, _ value: Double, _ unit: String? = nil) {
    let number = String(format: unit == nil ? "%.3f" : "%.2f", value)
    line(unit.map { "\(name) \(number) \($0)" } ?? "\(name) \(number)")
  }

  /// At once, also into a pipe: a run takes minutes.
  static func line(_ text: String) { FileHandle.standardOutput.write(Data("\(text)\n".utf8)) }
}

func median(_ values: [Double]) -> Double {
  let sorted = values.sorted()
  let middle = sorted.count / 2
  return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/// Of runs that were neighbours, so that a slow spell of the machine hits both.
func medianRatio(_ values: [Double], _ others: [Double]) -> Double { median(zip(values, others).map { $0 / $1 }) }
