package strictyaml

// Cutting makes every list at the top a long one.
func Cutting(cfg Config) Config {
	cfg.longList = 1
	return cfg
}
