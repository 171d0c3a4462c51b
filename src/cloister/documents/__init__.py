"""Documents that people file: written down as data (`content`), rendered as PDF (`pdf`) and as a page (`html`)."""
