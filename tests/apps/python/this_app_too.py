VALUE = "imported in a request"
