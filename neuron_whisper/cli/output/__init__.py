"""What commands write: tables and JSON, files, and the streams they go to."""
