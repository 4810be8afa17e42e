"""What the tests of programs on top of pystack can use too. Nothing here is loaded by the stack itself."""
