#if VQ_ONEDNN
  import COneDNN
  import CPlatform
  import Glibc

  /// The parts of oneDNN's C interface that every operator needs.
  enum OneDNN {
    static func check(_ status: dnnl_status_t, _ call: String) throws {
      if status == dnnl_out_of_memory { throw VQError.shortage("oneDNN", call) }
      guard status == dnnl_success else {
        throw VQError.library("oneDNN", call, status: Int(status.rawValue))
      }
    }

    /// The one CPU engine of the process.
    private static let sharedEngine: Result<dnnl_engine_t?, VQError> = {
      var engine: dnnl_engine_t?
      let status = dnnl_engine_create(&engine, dnnl_cpu, 0)
      guard status == dnnl_success else {
        return .failure(.library("oneDNN", "dnnl_engine_create", status: Int(status.rawValue)))
      }
      return .success(engine)
    }()

    static func engine() throws -> dnnl_engine_t? { try sharedEngine.get() }

    /// An array in one of the library's layouts; `dnnl_format_tag_any` leaves the choice to it.
    static func array(
      _ dims: [Int], _ tag: dnnl_format_tag_t, _ type: dnnl_data_type_t = dnnl_f32
    ) throws -> dnnl_memory_desc_t {
      var descriptor = dnnl_memory_desc_t()
      try check(
        dnnl_memory_desc_init_by_tag(
          &descriptor, Int32(dims.count), dims.map(Int64.init), type, tag),
        "dnnl_memory_desc_init_by_tag")
      return descriptor
    }

    static func isSame(_ a: dnnl_memory_desc_t, _ b: dnnl_memory_desc_t) -> Bool {
      var (a, b) = (a, b)
      return dnnl_memory_desc_equal(&a, &b) != 0
    }

    static func byteCount(_ descriptor: dnnl_memory_desc_t) -> Int {
      var descriptor = descriptor
      return Int(dnnl_memory_desc_get_size(&descriptor))
    }

    /// Uninitialized memory for `descriptor`.
    static func buffer(_ descriptor: dnnl_memory_desc_t) throws -> Storage {
      try Storage(.float32, count: (byteCount(descriptor) + 3) / 4)
    }
  }

  /// A compiled primitive, immutable, so that threads may run it at the same time.
  final class OneDNNPrimitive {
    typealias Argument = (
      index: Int32, descriptor: dnnl_memory_desc_t, data: UnsafeMutableRawPointer
    )

    private let primitive: dnnl_primitive_t?
    private let scratchpad: dnnl_memory_desc_t

    /// Creates the primitive of a descriptor that `describe` makes with the given attributes, for
    /// one thread.
    init(
      _ describe: (dnnl_primitive_attr_t?, dnnl_engine_t?) throws -> dnnl_primitive_desc_t?
    ) throws {
      var attributes: dnnl_primitive_attr_t?
      try OneDNN.check(dnnl_primitive_attr_create(&attributes), "dnnl_primitive_attr_create")
      defer { dnnl_primitive_attr_destroy(attributes) }
      try OneDNN.check(
        dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user),
        "dnnl_primitive_attr_set_scratchpad_mode")
      let engine = try OneDNN.engine()
      (primitive, scratchpad) = try callingLibrary {
        let description = try describe(attributes, engine)
        defer { dnnl_primitive_desc_destroy(description) }
        var primitive: dnnl_primitive_t?
        try OneDNN.check(dnnl_primitive_create(&primitive, description), "dnnl_primitive_create")
        return (primitive, try OneDNNPrimitive.layout(description, dnnl_query_scratchpad_md))
      }
    }

    deinit { dnnl_primitive_destroy(primitive) }

    /// The layout that a descriptor chose for one of its arguments.
    static func layout(_ description: dnnl_primitive_desc_t?, _ what: dnnl_query_t) throws
      -> dnnl_memory_desc_t
    {
      guard let layout = dnnl_primitive_desc_query_md(description, what, 0) else {
        throw VQError.library("oneDNN", "dnnl_primitive_desc_query_md", status: Int(what.rawValue))
      }
      return layout.pointee
    }

    /// Copies between two layouts.
    static func reorder(from: dnnl_memory_desc_t, to: dnnl_memory_desc_t) throws
      -> OneDNNPrimitive
    {
      try OneDNNPrimitive { attributes, engine in
        var (from, to) = (from, to)
        var description: dnnl_primitive_desc_t?
        try OneDNN.check(
          dnnl_reorder_primitive_desc_create(&description, &from, engine, &to, engine, attributes),
          "dnnl_reorder_primitive_desc_create")
        return description
      }
    }

    func execute(_ arguments: [Argument]) throws {
      let engine = try OneDNN.engine()
      var memories: [dnnl_memory_t?] = []
      defer { for memory in memories { dnnl_memory_destroy(memory) } }
      func argument(_ argument: Argument) throws -> dnnl_exec_arg_t {
        var (memory, descriptor): (dnnl_memory_t?, _) = (nil, argument.descriptor)
        try OneDNN.check(
          dnnl_memory_create(&memory, &descriptor, engine, argument.data), "dnnl_memory_create")
        memories.append(memory)
        return dnnl_exec_arg_t(arg: argument.index, memory: memory)
      }
      var list = try arguments.map(argument)
      let scratch = try OneDNN.buffer(scratchpad)
      if OneDNN.byteCount(scratchpad) > 0 {
        list.append(try argument((DNNL_ARG_SCRATCHPAD, scratchpad, scratch.base)))
      }
      var stream: dnnl_stream_t?
      try OneDNN.check(
        dnnl_stream_create(&stream, engine, dnnl_stream_default_flags.rawValue),
        "dnnl_stream_create")
      defer { dnnl_stream_destroy(stream) }
      try withExtendedLifetime(scratch) {
        let control = vq_enter_kernels()
        defer { vq_leave_kernels(control) }
        try callingLibrary {
          try OneDNN.check(
            dnnl_primitive_execute(primitive, stream, Int32(list.count), list),
            "dnnl_primitive_execute")
          try OneDNN.check(dnnl_stream_wait(stream), "dnnl_stream_wait")
        }
      }
    }
  }

  /// Values made once for a key and shared by all threads; forgets everything when it is full.
  final class OneDNNCache<Key: Hashable, Value>: @unchecked Sendable {
    private var values: [Key: Value] = [:]
    private var lock = pthread_mutex_t()
    private let limit = 512

    init() { pthread_mutex_init(&lock, nil) }

    /// `make` runs outside the lock: two threads may make the same value, the first one stays.
    func value(_ key: Key, make: () throws -> Value) throws -> Value {
      pthread_mutex_lock(&lock)
      let known = values[key]
      pthread_mutex_unlock(&lock)
      if let known { return known }
      let made = try make()
      pthread_mutex_lock(&lock)
      defer { pthread_mutex_unlock(&lock) }
      if let known = values[key] { return known }
      if values.count >= limit { values.removeAll() }
      values[key] = made
      return made
    }
  }
#endif
