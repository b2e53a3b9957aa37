"""Which program an app's `script` means: files, commands, package scripts, the file server."""
