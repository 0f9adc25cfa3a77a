"""What every route shares: authentication, admission, uploads, errors, connections."""
