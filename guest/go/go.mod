module wasgi

go 1.24
