"""Sockets that outlive the processes behind them."""
