"""The bind() shim for unmodified Python programs: the runtime's side, and in shim/ the interpreter's."""
