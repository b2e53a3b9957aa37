"""Any program in any language shares its port: the kernel asks us about its bind() and listen()."""
