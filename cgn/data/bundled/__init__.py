"""The bundled digits, and the script that chose them."""
