//! Changes of the document and of plugins while requests are served.
