"""One process of an app, and the commands beside it: started, signalled, ended, buried."""
