public typealias ScheduleKind = Kind<Void, Schedule>

/// The options of a `Schedule` by name; each kind has its own of them.
private struct ScheduleOptions {
  var warmUp = 0
  var every = 1
  var gamma = 0.1
  var total = 1
  var minimumFactor = 0.0
  var milestones: [Int] = []
}

extension Schedule {
  public static let kinds = [
    ScheduleKind(
      "constant",
      OptionTable(ScheduleOptions()) { Option("warmup_steps", \.warmUp) }
    ) { options, _ in try Schedule(.constant, warmUp: options.warmUp) },
    ScheduleKind(
      "step",
      OptionTable(ScheduleOptions()) {
        Option("step_size", \.every, isRequired: true)
        Option("gamma", \.gamma)
        Option("warmup_steps", \.warmUp)
      }
    ) { options, _ in
      try Schedule(.step(every: options.every, gamma: options.gamma), warmUp: options.warmUp)
    },
    ScheduleKind(
      "cosine",
      OptionTable(ScheduleOptions()) {
        Option("total_steps", \.total, isRequired: true)
        Option("minimum", \.minimumFactor)
        Option("warmup_steps", \.warmUp)
      }
    ) { options, _ in
      try Schedule(
        .cosine(total: options.total, minimumFactor: options.minimumFactor),
        warmUp: options.warmUp)
    },
    ScheduleKind(
      "exponential",
      OptionTable(ScheduleOptions()) {
        Option("gamma", \.gamma, isRequired: true)
        Option("warmup_steps", \.warmUp)
      }
    ) { options, _ in
      try Schedule(.exponential(gamma: options.gamma), warmUp: options.warmUp)
    },
    ScheduleKind(
      "multistep",
      OptionTable(ScheduleOptions()) {
        Option("milestones", \.milestones, isRequired: true)
        Option("gamma", \.gamma)
        Option("warmup_steps", \.warmUp)
      }
    ) { options, _ in
      try Schedule(
        .multistep(milestones: options.milestones, gamma: options.gamma), warmUp: options.warmUp)
    },
    ScheduleKind("one_cycle", OneCycle.table) { options, _ in try Schedule(.oneCycle(options)) },
  ]
}
