package models_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
)

// A Recipe is the content type of a plugin named cook; a Book is its repository type. In a book there is one recipe per
// dish.
type (
	Recipe struct {
		models.Content
		Dish string `json:"dish" pulp:"natural,repo"`
		Text string `json:"text" pulp:"natural"`
	}
	Book struct{ models.Repository }
)

var (
	recipes = models.Define[Recipe]("cook.recipe")
	books   = models.Define[Book]("cook.book", models.Accepts(recipes))
)

func Example() {
	dir, err := os.MkdirTemp("", "models")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := cook(context.Background(), "sqlite:"+filepath.Join(dir, "pulp.db")); err != nil {
		log.Fatal(err)
	}
	// Output:
	// version 1: {Added:2 Removed:0 Present:2}
	// version 2: {Added:1 Removed:1 Present:2}
	// there are recipes of pancakes
	// there are recipes of soup
	// pancakes: flour, milk, eggs
	// soup: water
}

func cook(ctx context.Context, url string) error {
	registry, err := models.NewRegistry(models.PluginModels{Plugin: "cook", Types: []models.AnyType{recipes, books}})
	if err != nil {
		return err
	}
	db, err := models.OpenDB(ctx, url, &models.DBOptions{Registry: registry})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := models.Migrate(ctx, db); err != nil {
		return err
	}
	if db, err = db.InDomain(ctx, models.DefaultDomain); err != nil {
		return err
	}
	book := &Book{Repository: models.Repository{Name: "family"}}
	if err := books.Create(ctx, db, book); err != nil {
		return err
	}
	for _, list := range [][]*Recipe{
		{{Dish: "soup", Text: "water"}, {Dish: "pancakes", Text: "flour, milk"}},
		{{Dish: "pancakes", Text: "flour, milk, eggs"}}, // takes the place of the other
	} {
		if err := addRecipes(ctx, db, book, list); err != nil {
			return err
		}
	}
	latest, err := models.LatestVersion(ctx, db, book.ID)
	if err != nil {
		return err
	}
	for dish, err := range models.Distinct[string](ctx, db, recipes, "dish") {
		if err != nil {
			return err
		}
		fmt.Println("there are recipes of", dish)
	}
	for r, err := range recipes.All(ctx, db, models.InVersion(latest), models.OrderBy("dish")) {
		if err != nil {
			return err
		}
		fmt.Printf("%s: %s\n", r.Dish, r.Text)
	}
	return nil
}

func addRecipes(ctx context.Context, db *models.DB, book *Book, list []*Recipe) error {
	v, _, err := models.CreateVersion(ctx, db, book, nil, func(v *models.NewVersion) error {
		var ids []uuid.UUID
		for _, r := range list {
			if err := recipes.Create(ctx, db, r); err != nil {
				return err
			}
			ids = append(ids, r.ID)
		}
		_, err := v.Add(ctx, ids)
		return err
	})
	if err != nil {
		return err
	}
	counts, err := v.Counts(ctx, db)
	fmt.Printf("version %d: %+v\n", v.Number, counts["cook.recipe"])
	return err
}
