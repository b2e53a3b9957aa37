"""Where a first ecosystem file comes from: other programs' files, or the look of a folder."""
