"""vMambaX: CT and PET through one VSS encoder, gated fusion, one decoder."""
