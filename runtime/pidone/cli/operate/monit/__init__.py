"""`monit`: a live view for a terminal.

`state` is what there is to show, `keys` and `mouse` make another state of it, `views` make lines of it: all
three are pure. `gather` asks the runtime, `driver` has the terminal.
"""
