"""microexp: from face videos to honest tables of micro-expression spotting and recognition."""

__version__ = "0.2.0"
