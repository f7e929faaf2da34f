//! Companies outside the mesh, as small honest servers of their real APIs with a ledger of every effect.
