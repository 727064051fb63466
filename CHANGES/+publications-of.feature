Publications can be filtered by `content` and `content__in`. The API document names its license.
