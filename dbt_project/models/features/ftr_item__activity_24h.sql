{{ item_activity('24h', tile_minutes=var('item_tile_minutes')) }}
