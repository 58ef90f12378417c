"""What services test their own policies with.

`plugin` is loaded by every run of pytest where Tanist is installed, so nothing is imported here.
"""
