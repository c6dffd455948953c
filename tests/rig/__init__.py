"""What the tests of several floors share: real agents, proxies and helpers to wait on facts."""
