"""Files whose change means something: those of apps (`watch`) and the ecosystem (`watch_config`)."""
