"""Serves a folder by HTTP: what PM2 starts for `static` and `script: "serve"`, with the same variables.

A program of its own (`python -m pidone.fileserver`) around the standard library's http.server.
"""
