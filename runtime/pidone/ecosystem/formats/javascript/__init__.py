"""JavaScript: evaluated by our engine or by the image's Node, with Node's modules and built-ins."""
