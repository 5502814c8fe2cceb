{{ item_activity('7d', tile_minutes=var('item_tile_minutes')) }}
