"""What every part may use: files, the cache, untrusted bytes, devices, decompositions."""
