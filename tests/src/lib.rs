//! Everything that needs more than one package is tested here; the library holds what those tests share.
