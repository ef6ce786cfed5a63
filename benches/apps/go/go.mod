module bench

go 1.24

require wasgi v0.0.0

replace wasgi => ../../../guest/go
