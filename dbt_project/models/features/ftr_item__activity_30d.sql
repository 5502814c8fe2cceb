{{ item_activity('30d', tile_minutes=var('item_tile_minutes')) }}
