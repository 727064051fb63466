`examples/python` is an index for Python packages in less than 500 lines of code: it mirrors PyPI, takes uploads of twine and
serves pip.
