"""What several tests share: small models, sessions, servers, clients."""
