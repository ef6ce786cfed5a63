module APPNAME

go 1.24

require wasgi v0.0.0

replace wasgi => ./.wasgi/sdk/go // `wasgi build` writes it
