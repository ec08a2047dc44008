"""What runs inside the jail and sees what a function does: its value, its exceptions, files, output and calls.

Only the standard library is imported here, and only this folder is sent: it runs on the jail's own Python.
"""
