"""How the parts are put together on machines."""
